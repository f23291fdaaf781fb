INSERT INTO audit_ends (id, last_seq, last_hash, cut_seq, cut_hash, cut_mac)
VALUES (1, 0, zeroblob(32), 0, zeroblob(32), zeroblob(32)) ON CONFLICT (id) DO NOTHING;
