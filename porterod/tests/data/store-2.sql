-- What a store in use has in the tables of version 2.

INSERT INTO definition_texts (digest, definition) VALUES ('d1', '{"name":"send","description":"Sends a mail"}');
