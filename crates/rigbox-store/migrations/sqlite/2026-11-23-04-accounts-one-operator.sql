-- Two starts at once make one operator.
CREATE UNIQUE INDEX IF NOT EXISTS accounts_one_operator ON accounts (standing) WHERE standing = 'operator';
