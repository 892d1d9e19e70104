CREATE FUNCTION core.update_updated_at()
RETURNS TRIGGER AS $$
BEGIN
    NEW.updated_at = NOW();
    RETURN NEW;
END;
$$ LANGUAGE plpgsql;

CREATE TRIGGER update_agents_updated_at
    BEFORE UPDATE ON core.agents
    FOR EACH ROW
    EXECUTE FUNCTION core.update_updated_at();

CREATE TRIGGER update_coordination_updated_at
    BEFORE UPDATE ON core.coordination_state
    FOR EACH ROW
    EXECUTE FUNCTION core.update_updated_at();
