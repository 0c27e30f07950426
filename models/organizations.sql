/*
description: Companies that may hold several accounts.
primary_key: org_id
columns: [org_id, name, industry, created_at]
*/
select org_id, name, industry, created_at
from organizations
