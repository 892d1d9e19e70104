DROP TABLE core.coordination_state;
