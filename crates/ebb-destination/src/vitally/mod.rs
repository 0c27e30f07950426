//! Vitally: accounts, organizations, users by REST; events and objects by the Analytics API.
