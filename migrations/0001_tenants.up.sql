-- Who may use this installation: tenants and their api keys.
create table tenants (
    tenant_id uuid primary key,
    name text not null check (length(name) between 1 and 255),
    created_at timestamptz not null default now()
);

-- A key is shown once; what is kept is its keyed BLAKE2b-256 hash, found by the public part of the key.
create table api_keys (
    key_id uuid primary key,
    tenant_id uuid not null references tenants,
    public_id text not null unique check (length(public_id) between 8 and 64),
    hash bytea not null check (octet_length(hash) = 32),
    name text not null default '',
    scopes text[] not null,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    revoked_at timestamptz
);
create index api_keys_tenant on api_keys (tenant_id);

grant select on tenants, api_keys to signalbox_api, signalbox_streamer;
grant insert on tenants, api_keys to signalbox_api;
grant update (name, expires_at, revoked_at, scopes) on api_keys to signalbox_api;
