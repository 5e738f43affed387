-- Who signs for diagnostic images. repo/FORMAT.md "Two signatures".

-- Writer: repo/index.c. From the signed targets in git, as the rest of the index; no row: 1.
CREATE TABLE image_signers (
    product    TEXT    NOT NULL PRIMARY KEY,
    signatures INTEGER NOT NULL               -- threshold of the role diagnostics-<product>: 1, or 2 with an approver
) STRICT, WITHOUT ROWID;
