-- The same for one workspace; what is missing its account says. `guest_enabled` is what code in the workspace
-- has said, which counts as long as its owner has said nothing.
CREATE TABLE IF NOT EXISTS ai_workspaces (
    workspace_id TEXT COLLATE "C" NOT NULL PRIMARY KEY REFERENCES workspaces (id) ON DELETE CASCADE,
    enabled BIGINT CHECK (enabled IN (0, 1)),
    guest_enabled BIGINT CHECK (guest_enabled IN (0, 1)),
    mode TEXT COLLATE "C",
    provider TEXT COLLATE "C",
    model TEXT COLLATE "C",
    inject TEXT COLLATE "C",
    updated_at BIGINT NOT NULL
);
