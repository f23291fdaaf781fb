-- One row: the counter that every change of a workspace takes its revision from. Whoever writes holds
-- this row until its end, so revisions become visible in their order.
CREATE TABLE IF NOT EXISTS feed (
    id INTEGER NOT NULL PRIMARY KEY CHECK (id = 1),
    revision INTEGER NOT NULL,
    -- Removals up to this revision are forgotten: who has seen less must read the whole set.
    forgotten_revision INTEGER NOT NULL
) STRICT;
