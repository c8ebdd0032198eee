//! Proves from a database and a mail server alone that nothing was lost and nothing was done twice.
