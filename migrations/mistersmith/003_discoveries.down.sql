DROP TABLE core.discoveries;
