-- Which types the values of an attribute have had, a bit for each (dripline_model::field::ValueTypes). 64: values were there
-- before anybody took note, so nothing is known of them.
ALTER TABLE attribute_names ADD COLUMN types BIGINT NOT NULL DEFAULT 64;
