//! What a person or a session can ask for: one file each, named as the terminal's command.
