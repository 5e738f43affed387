-- The ids of one device's reports by age: what is above its share is forgotten first.
CREATE INDEX device_report_taken_of_device ON device_report_taken (device_id, at);
