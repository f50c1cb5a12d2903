drop table api_keys;
drop table tenants;
