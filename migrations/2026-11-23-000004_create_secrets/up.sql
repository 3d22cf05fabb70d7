-- Secrets that flows name: sealed values, which nobody reads here without the key of the service.

CREATE TABLE secrets (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    description text NOT NULL,
    hosts jsonb NOT NULL,
    latest_version integer NOT NULL,
    edition uuid NOT NULL DEFAULT gen_random_uuid(),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secrets_pkey PRIMARY KEY (namespace, name),
    CONSTRAINT secrets_namespace_length CHECK (char_length(namespace) BETWEEN 1 AND 200),
    CONSTRAINT secrets_name_form CHECK (name ~ '^[A-Za-z0-9_-]{1,100}$'),
    CONSTRAINT secrets_description_length CHECK (char_length(description) <= 4000),
    CONSTRAINT secrets_hosts_list CHECK (jsonb_typeof(hosts) = 'array'),
    CONSTRAINT secrets_latest_version_positive CHECK (latest_version >= 1)
);

COMMENT ON TABLE secrets IS 'What is known of a secret beside its values.';
COMMENT ON COLUMN secrets.namespace IS 'Whose secret it is.';
COMMENT ON COLUMN secrets.name IS 'What flows call it, below `secrets`.';
COMMENT ON COLUMN secrets.hosts IS 'The hosts that its values are sent to; empty for any.';
COMMENT ON COLUMN secrets.latest_version IS 'The number of the newest version.';
COMMENT ON COLUMN secrets.edition IS 'Another one after each change: by it processes notice that what they hold in memory is old.';

CREATE TABLE secret_versions (
    namespace text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    version integer NOT NULL,
    sealed bytea NOT NULL,
    key_id text NOT NULL,
    enabled boolean NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT secret_versions_pkey PRIMARY KEY (namespace, name, version),
    CONSTRAINT secret_versions_secret_fkey FOREIGN KEY (namespace, name)
        REFERENCES secrets (namespace, name) ON DELETE CASCADE,
    CONSTRAINT secret_versions_version_positive CHECK (version >= 1),
    -- A nonce of 24 bytes, a value of 4 to 65,536 bytes and a tag of 16.
    CONSTRAINT secret_versions_sealed_length CHECK (octet_length(sealed) BETWEEN 44 AND 65576),
    CONSTRAINT secret_versions_key_id_form CHECK (key_id ~ '^[0-9a-f]{8}$')
);

COMMENT ON TABLE secret_versions IS 'The values of secrets, sealed with XChaCha20-Poly1305.';
COMMENT ON COLUMN secret_versions.sealed IS 'Nonce, sealed value and tag; namespace, name and version are authenticated with it.';
COMMENT ON COLUMN secret_versions.key_id IS 'The key that it is sealed with: the first 8 hexadecimal digits of its SHA-256.';
COMMENT ON COLUMN secret_versions.enabled IS 'Whether steps may use it: the newest enabled version counts.';
