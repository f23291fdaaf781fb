-- From which network each command line asked, for as long as its request is remembered.
CREATE TABLE IF NOT EXISTS device_networks (
    network TEXT NOT NULL,
    poll_hash BLOB NOT NULL,
    -- When the request is forgotten.
    gone_at INTEGER NOT NULL,
    PRIMARY KEY (network, poll_hash)
) STRICT, WITHOUT ROWID;
