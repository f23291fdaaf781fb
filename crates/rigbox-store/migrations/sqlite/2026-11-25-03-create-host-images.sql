-- Images that hosts have or can build, as each last said.
CREATE TABLE IF NOT EXISTS host_images (
    host_id TEXT NOT NULL REFERENCES hosts (id),
    image TEXT NOT NULL,
    PRIMARY KEY (host_id, image)
) STRICT;
