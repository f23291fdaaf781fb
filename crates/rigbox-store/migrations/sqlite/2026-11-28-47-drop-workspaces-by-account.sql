-- The one before has the same order.
DROP INDEX IF EXISTS workspaces_by_account;
