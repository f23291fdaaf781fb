-- Tickets that serve once and were used: their hash, until they would have ended anyway.
CREATE TABLE IF NOT EXISTS spent_tickets (
    hash BYTEA NOT NULL PRIMARY KEY,
    spent_at BIGINT NOT NULL
);
