DROP TRIGGER update_coordination_updated_at ON core.coordination_state;
DROP TRIGGER update_agents_updated_at ON core.agents;
DROP FUNCTION core.update_updated_at();
