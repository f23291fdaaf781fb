-- PostgreSQL has it already: see the migration before.
SELECT 1;
