/*
description: A store is an organization, and its one account.
primary_key: store_id
*/
select id as store_id, name, opened_at, tax_rate
from raw_stores
