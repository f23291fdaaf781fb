INSERT INTO audit_ends (id, last_seq, last_hash, cut_seq, cut_hash)
VALUES (1, 0, zeroblob(32), 0, zeroblob(32)) ON CONFLICT (id) DO NOTHING;
