/*
description: Paying accounts with their plan and what they are worth.
primary_key: account_id
*/
select account_id, org_id, name, plan, seats, mrr_cents, balance, active, renewal_date, tags, updated_at
from accounts
