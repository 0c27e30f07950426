/*
description: Customers, with the store where they ordered last and what they spent.
primary_key: customer_id
*/
select
    c.id as customer_id,
    c.name,
    o.store_id,
    o.orders,
    o.spent_cents,
    o.last_order_at
from raw_customers c
join lateral (
    select
        (array_agg(store_id order by ordered_at desc, id))[1] as store_id,
        count(*) as orders,
        sum(order_total)::bigint as spent_cents,
        max(ordered_at) as last_order_at
    from raw_orders
    where customer = c.id
    having count(*) > 0
) o on true
