"""The vendor's database: tables, migrations and the use cases that change them in one transaction."""
