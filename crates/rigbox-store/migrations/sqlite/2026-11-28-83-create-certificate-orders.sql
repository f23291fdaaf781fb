-- Certificates that are being ordered, by whom, and what went wrong before.
CREATE TABLE IF NOT EXISTS certificate_orders (
    subject TEXT NOT NULL PRIMARY KEY,
    -- Which process orders, until when nobody else does.
    holder TEXT,
    held_until INTEGER NOT NULL,
    failures INTEGER NOT NULL,
    -- Not before then.
    next_at INTEGER NOT NULL,
    last_error TEXT,
    last_failed_at INTEGER
) STRICT;
