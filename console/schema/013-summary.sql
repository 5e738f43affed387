-- What the overview asks again and again, of few among many rows: alarms, and devices that came back and then fell silent while they sent what they had collected.
CREATE INDEX assignment_alarm ON assignment (since) WHERE alarm IS NOT NULL;
CREATE INDEX assignment_not_sent ON assignment (state, since) WHERE reason_code = 'timed_out' AND reverted_at IS NOT NULL;
