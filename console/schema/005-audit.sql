-- The audit of publications and releases is found by what they were done to: console/audit.c
CREATE INDEX audit_by_object ON audit (object);
