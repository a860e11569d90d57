-- Version 8: a grant may be for one session, for one project, or for a number of uses.

ALTER TABLE grants ADD COLUMN session TEXT;
ALTER TABLE grants ADD COLUMN agent_session TEXT;
ALTER TABLE grants ADD COLUMN project TEXT;
ALTER TABLE grants ADD COLUMN uses INTEGER CHECK (uses > 0);
ALTER TABLE grants ADD COLUMN used INTEGER NOT NULL DEFAULT 0 CHECK (used BETWEEN 0 AND coalesce(uses, 0));

CREATE TRIGGER grants_only_used_up BEFORE UPDATE ON grants
WHEN NEW.used <= OLD.used OR NEW.id IS NOT OLD.id OR NEW.pattern IS NOT OLD.pattern
    OR NEW.made IS NOT OLD.made OR NEW.made_boot IS NOT OLD.made_boot OR NEW.boot_id IS NOT OLD.boot_id
    OR NEW.millis IS NOT OLD.millis OR NEW.session IS NOT OLD.session
    OR NEW.agent_session IS NOT OLD.agent_session OR NEW.project IS NOT OLD.project
    OR NEW.uses IS NOT OLD.uses
BEGIN
    SELECT RAISE(ABORT, 'of a grant only the uses change, and they only become fewer');
END;
