//! The only SQL: engine, transactions, one module per resource, change feed, migrations.
