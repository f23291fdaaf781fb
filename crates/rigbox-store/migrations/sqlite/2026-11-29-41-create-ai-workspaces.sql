-- The same for one workspace; what is missing its account says. `guest_enabled` is what code in the workspace
-- has said, which counts as long as its owner has said nothing.
CREATE TABLE IF NOT EXISTS ai_workspaces (
    workspace_id TEXT NOT NULL PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    enabled INTEGER CHECK (enabled IN (0, 1)),
    guest_enabled INTEGER CHECK (guest_enabled IN (0, 1)),
    mode TEXT,
    provider TEXT,
    model TEXT,
    inject TEXT,
    updated_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
