CREATE TABLE core.discoveries (
    id UUID PRIMARY KEY DEFAULT gen_random_uuid(),
    agent_id UUID REFERENCES core.agents(id),
    type VARCHAR(50) NOT NULL,
    content TEXT NOT NULL,
    confidence DECIMAL(3,2) CHECK (confidence >= 0 AND confidence <= 1),
    metadata JSONB DEFAULT '{}',
    created_at TIMESTAMPTZ DEFAULT NOW()
);

CREATE INDEX idx_discoveries_agent_id ON core.discoveries(agent_id);
CREATE INDEX idx_discoveries_type ON core.discoveries(type);
CREATE INDEX idx_discoveries_created_at ON core.discoveries(created_at DESC);
