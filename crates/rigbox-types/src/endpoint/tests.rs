use std::collections::BTreeSet;

use super::*;

#[test]
fn every_operation_has_one_row() {
    for operation in Operation::ALL {
        let rows = ENDPOINTS.iter().filter(|row| row.operation == *operation).count();
        assert_eq!(rows, 1, "{operation}");
    }
    assert_eq!(ENDPOINTS.len(), Operation::ALL.len());
}

#[test]
fn no_two_rows_have_the_same_method_and_path() {
    let places: BTreeSet<_> = ENDPOINTS.iter().map(|row| (row.method.as_str(), row.path)).collect();
    assert_eq!(places.len(), ENDPOINTS.len());
}

#[test]
fn what_needs_no_identity_is_exactly_the_public_list() {
    let open: Vec<_> = ENDPOINTS
        .iter()
        .filter(|row| row.right == Right::Public)
        .map(|row| row.operation)
        .collect();
    let expected = [
        Operation::SessionCreate,
        Operation::DeviceSessionCreate,
        Operation::DeviceSessionShow,
        Operation::TemplateList,
        Operation::CapacityShow,
        Operation::CaShow,
        Operation::OpenapiShow,
    ];
    assert_eq!(open, expected);
}

#[test]
fn a_path_about_one_workspace_needs_a_right_to_it() {
    for row in ENDPOINTS {
        let one = row.path.contains("/workspaces/{id}") || row.path.contains("/terminal/{id}");
        let right = matches!(
            row.right,
            Right::WorkspaceRead
                | Right::WorkspaceOperate
                | Right::WorkspaceWrite
                | Right::WorkspaceEnter
        );
        assert_eq!(one, right, "{}", row.operation);
    }
}

#[test]
fn what_changes_something_needs_more_than_the_right_to_read() {
    for row in ENDPOINTS {
        // A question that needs a body; and what somebody shows who they are by can ask for no right.
        let asks = matches!(
            row.operation,
            Operation::AccessSimulate | Operation::SessionCreate | Operation::DeviceSessionCreate
        );
        if row.method != Method::Get && !asks {
            let reads = matches!(
                row.right,
                Right::Public
                    | Right::AccountRead
                    | Right::WorkspaceList
                    | Right::WorkspaceRead
                    | Right::AccessRead
                    | Right::GuestRead
                    | Right::GuestWrite
            );
            assert!(!reads, "{}", row.operation);
        }
    }
}
