DROP TABLE flow_edges;
DROP TABLE flow_nodes;
DROP TABLE flow_revisions;
DROP TABLE flows;
