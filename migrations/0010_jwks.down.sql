drop table jwks_documents;
