-- Version 19: when a press of a button was first taken up, so that a grant counts from then.

ALTER TABLE telegram_buttons ADD COLUMN spent INTEGER;
ALTER TABLE telegram_buttons ADD COLUMN spent_boot INTEGER; -- nanoseconds since boot

DROP TRIGGER telegram_buttons_once;

CREATE TRIGGER telegram_buttons_once BEFORE UPDATE ON telegram_buttons
WHEN NEW.steps <> OLD.steps + 1 OR (OLD.steps > 0 AND NEW.spent_by IS NOT OLD.spent_by)
    OR (OLD.steps > 0 AND (NEW.spent IS NOT OLD.spent OR NEW.spent_boot IS NOT OLD.spent_boot))
    OR NEW.token IS NOT OLD.token OR NEW.bot IS NOT OLD.bot OR NEW.chat IS NOT OLD.chat
    OR NEW.user IS NOT OLD.user OR NEW.cause IS NOT OLD.cause OR NEW.task IS NOT OLD.task
    OR NEW.act IS NOT OLD.act OR NEW.made IS NOT OLD.made
BEGIN
    SELECT RAISE(ABORT, 'a button is used once, by one press');
END;
