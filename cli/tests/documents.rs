//! The documents name nothing that is not there.

use std::fs;
use std::path::Path;

#[test]
fn every_relative_link_of_the_documents_leads_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let documents = [
        "README.md",
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "CHANGELOG.md",
        "docs/testing-your-protocol.md",
        "sim/README.md",
    ];
    for document in documents {
        let text = fs::read_to_string(root.join(document)).unwrap();
        let folder = root.join(document).parent().unwrap().to_owned();
        let links = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        let local = links.filter(|link| !link.starts_with("http") && !link.starts_with('#'));
        let mut seen = 0;
        for link in local {
            assert!(folder.join(link).exists(), "{document} links {link}, which is not there");
            seen += 1;
        }
        assert!(document != "README.md" || seen > 5, "{document}: the links were not found");
    }
}
