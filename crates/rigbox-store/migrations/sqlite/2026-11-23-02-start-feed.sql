INSERT INTO feed (id, revision, forgotten_revision)
VALUES (1, 0, 0)
ON CONFLICT (id) DO NOTHING;
