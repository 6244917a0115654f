"""Where the files of a source lie, and how they are read."""

from tuner.data.files import patient, system_of


def test_google_that_does_not_answer_is_given_up_soon() -> None:
    assert patient("gs://bucket/table.parquet") == "gs://bucket/table.parquet?retry_limit_seconds=20"
    assert patient("s3://bucket/table.parquet") == "s3://bucket/table.parquet"
    system_of(patient("gs://anonymous@bucket/table.parquet"))  # pyarrow knows the option
