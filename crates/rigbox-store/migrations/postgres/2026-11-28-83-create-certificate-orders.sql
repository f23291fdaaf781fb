-- Certificates that are being ordered, by whom, and what went wrong before.
CREATE TABLE IF NOT EXISTS certificate_orders (
    subject TEXT COLLATE "C" NOT NULL PRIMARY KEY,
    -- Which process orders, until when nobody else does.
    holder TEXT COLLATE "C",
    held_until BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    -- Not before then.
    next_at BIGINT NOT NULL,
    last_error TEXT COLLATE "C",
    last_failed_at BIGINT
);
