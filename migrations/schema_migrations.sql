-- Which migrations this database has; kept by the runner, not itself a migration. checksum: SHA-256 of the .up.sql file.
create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
);
