DROP TABLE core.agents;
