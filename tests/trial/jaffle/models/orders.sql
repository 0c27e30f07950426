/*
primary_key: order_id
*/
select id as order_id, customer as customer_id, store_id, ordered_at, subtotal, tax_paid, order_total
from raw_orders
