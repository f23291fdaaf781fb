-- From which network each command line asked, for as long as its request is remembered.
CREATE TABLE IF NOT EXISTS device_networks (
    network TEXT COLLATE "C" NOT NULL,
    poll_hash BYTEA NOT NULL,
    -- When the request is forgotten.
    gone_at BIGINT NOT NULL,
    PRIMARY KEY (network, poll_hash)
);
