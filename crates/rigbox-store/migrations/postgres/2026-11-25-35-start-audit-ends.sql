INSERT INTO audit_ends (id, last_seq, last_hash, cut_seq, cut_hash, cut_mac)
VALUES (1, 0, decode(repeat('00', 32), 'hex'), 0, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')) ON CONFLICT (id) DO NOTHING;
