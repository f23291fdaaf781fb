-- One row: the counter that every change of a workspace takes its revision from. Whoever writes holds
-- this row until its end, so revisions become visible in their order.
CREATE TABLE IF NOT EXISTS feed (
    id BIGINT NOT NULL PRIMARY KEY CHECK (id = 1),
    revision BIGINT NOT NULL,
    -- Removals up to this revision are forgotten: who has seen less must read the whole set.
    forgotten_revision BIGINT NOT NULL
);
