"""Changes of the database's form, run by `groupseal migrate`."""
