-- What the overview asks again and again: devices that came back and then fell silent while they sent what they had collected.
CREATE INDEX assignment_not_sent ON assignment (since) WHERE state = 'failed' AND reason_code = 'timed_out' AND reverted_at IS NOT NULL;
