"""The vendor's database: tables, migrations and the use cases, each in one transaction."""
