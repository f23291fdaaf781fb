CREATE INDEX IF NOT EXISTS spent_tickets_by_age ON spent_tickets (spent_at);
