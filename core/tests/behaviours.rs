//! The tables beside this file name tests that exist, and leave nothing out.

#![allow(clippy::unwrap_used, reason = "this is test code")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// All test functions of hashicorp/memberlist v0.7.0, by file.
const GO_TESTS: &str = "\
TestAwareness \
TestMemberlistBroadcast_Invalidates TestMemberlistBroadcast_Message \
Test_IsValidAddressDefaults Test_IsValidAddressOverride \
TestMemberlist_Integ \
TestRetryer \
TestKeyRing_MultiKeyEncryptDecrypt TestKeyring_AddConcurrentKeys TestKeyring_AddRemoveUse \
TestKeyring_EmptyRing TestKeyring_GetPrimaryKey TestKeyring_PrimaryOnly \
TestAddLabelHeaderToPacket TestAddLabelHeaderToStream TestLabelOverhead \
TestRemoveLabelHeaderFromPacket TestRemoveLabelHeaderFromStream \
TestLogging_Address TestLogging_Conn \
TestAdvertiseAddr TestCreate TestCreate_checkBroadcastQueueMetrics \
TestCreate_invalidLoggerSettings TestCreate_keyringAndSecretKey TestCreate_keyringOnly \
TestCreate_protocolVersion TestCreate_secretKey TestCreate_secretKeyEmpty \
TestDefaultLANConfig_protocolVersion TestMemberList_CreateShutdown TestMemberList_Members \
TestMemberList_ResolveAddr TestMemberList_ResolveAddr_TCP_First TestMemberlistProtocolVersion \
TestMemberlist_EncryptedGossipTransition TestMemberlist_Join \
TestMemberlist_JoinDifferentNetworksMultiMasks TestMemberlist_JoinDifferentNetworksUniqueMask \
TestMemberlist_JoinShutdown TestMemberlist_Join_Cancel TestMemberlist_Join_Cancel_Passive \
TestMemberlist_Join_DeadNode TestMemberlist_Join_IPv6 TestMemberlist_Join_Protocol_Compatibility \
TestMemberlist_Join_protocolVersions TestMemberlist_Join_with_Labels \
TestMemberlist_Join_with_Labels_and_Encryption TestMemberlist_Leave TestMemberlist_PingDelegate \
TestMemberlist_SendTo TestMemberlist_UserData TestMemberlist_conflictDelegate \
TestMemberlist_delegateMeta TestMemberlist_delegateMeta_Update \
TestEncryptDecryptState TestGossip_MismatchedKeys TestHandleCommand TestHandleCompoundPing \
TestHandleConn_NilConnAfterRemoveLabelHeaderFromStream TestHandleIndirectPing TestHandlePing \
TestHandlePing_WrongNode TestIngestPacket_CRC TestIngestPacket_ExportedFunc_EmptyMessage \
TestRawSendUdp_CRC TestReadRemoteState_Limits TestReadUserMsg_Limit TestSendMsg_Piggyback \
TestTCPPing TestTCPPushPull \
TestLimitedBroadcastLess TestTransmitLimited_GetBroadcasts \
TestTransmitLimited_GetBroadcasts_Limit TestTransmitLimited_Prune TestTransmitLimited_Queue \
TestTransmitLimited_ordering \
TestEncryptDecrypt_V0 TestEncryptDecrypt_V1 TestPKCS7 \
TestMemberList_AliveNode_ChangeMeta TestMemberList_AliveNode_Conflict \
TestMemberList_AliveNode_Idempotent TestMemberList_AliveNode_NewNode \
TestMemberList_AliveNode_Refute TestMemberList_AliveNode_SuspectNode TestMemberList_DeadNode \
TestMemberList_DeadNodeLeft TestMemberList_DeadNode_AliveReplay TestMemberList_DeadNode_Double \
TestMemberList_DeadNode_NoNode TestMemberList_DeadNode_OldDead TestMemberList_DeadNode_Refute \
TestMemberList_MergeState TestMemberList_NextSeq TestMemberList_Ping TestMemberList_Probe \
TestMemberList_ProbeNode TestMemberList_ProbeNode_Awareness_Degraded \
TestMemberList_ProbeNode_Awareness_Improved TestMemberList_ProbeNode_Awareness_MissedNack \
TestMemberList_ProbeNode_Awareness_OldProtocol TestMemberList_ProbeNode_Buddy \
TestMemberList_ProbeNode_FallbackTCP TestMemberList_ProbeNode_FallbackTCP_Disabled \
TestMemberList_ProbeNode_FallbackTCP_OldProtocol TestMemberList_ProbeNode_Suspect \
TestMemberList_ProbeNode_Suspect_Dogpile TestMemberList_ProbeNode_Wrong_VSN \
TestMemberList_ResetNodes TestMemberList_SuspectNode TestMemberList_SuspectNode_DoubleSuspect \
TestMemberList_SuspectNode_NoNode TestMemberList_SuspectNode_OldSuspect \
TestMemberList_SuspectNode_Refute TestMemberList_invokeAckHandler \
TestMemberList_invokeAckHandler_Channel_Ack TestMemberList_invokeAckHandler_Channel_Nack \
TestMemberList_setAckHandler TestMemberList_setProbeChannels TestMemberlist_FailedRemote \
TestMemberlist_Gossip TestMemberlist_GossipToDead TestMemberlist_PushPull TestVerifyProtocol \
TestSuspicion_Timer TestSuspicion_Timer_Immediate TestSuspicion_Timer_ZeroK \
TestSuspicion_remainingSuspicionTime \
TestTransport_Join TestTransport_Send TestTransport_TcpListenBackoff \
TestCompressDecompressPayload TestDecodeCompoundMessage \
TestDecodeCompoundMessage_NumberOfPartsOverflow TestDecodeCompoundMessage_Trunc \
TestDecompressPayload_Limit TestEncodeDecode TestKRandomNodes TestMakeCompoundMessage \
TestMoveDeadNodes TestPushPullScale TestRandomOffset TestRandomOffset_Zero TestRetransmitLimit \
TestShuffleNodes TestSuspicionTimeout TestUtil_PortFunctions";

/// How many there are.
const GO_TESTS_COUNT: usize = 148;

/// Rows of the protocol page §9.1, 9.2 and 9.3, and the attacks of the reliability page §3.3 that
/// are this core's.
const HOSTILE_ROWS: [(&str, usize); 4] =
    [("9.1.", 28), ("9.2.", 18), ("9.3.", 19), ("attack ", 13)];

fn root() -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect()
}

/// First and last column of a row.
#[derive(Debug)]
struct Row {
    name: String,
    ours: String,
}

fn rows(file: &str) -> Vec<Row> {
    let path = root().join("core/tests").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().filter_map(row).collect()
}

/// A row of a table; `None` for its head and for other text.
fn row(line: &str) -> Option<Row> {
    let cells = line.strip_prefix('|')?.strip_suffix('|')?;
    let (name, rest) = cells.split_once('|')?;
    let (_, ours) = rest.rsplit_once('|')?;
    let (name, ours) = (name.trim().to_owned(), ours.trim().to_owned());
    let is_head = ours == "ours" || ours.starts_with("---");
    (!is_head).then_some(Row { name, ours })
}

/// The tests that a row names, as path and function.
fn tests(row: &Row) -> Vec<(&str, &str)> {
    row.ours
        .split('`')
        .filter_map(|word| word.split_once(".rs::").map(|_| word))
        .map(split)
        .collect()
}

fn split(name: &str) -> (&str, &str) {
    name.rsplit_once("::").unwrap()
}

/// Says what is wrong with a row: a test that does not exist, or neither test nor reason.
fn fault(row: &Row, sources: &mut BTreeMap<String, BTreeSet<String>>) -> Option<String> {
    let named = tests(row);
    if named.is_empty() && row.ours.split_whitespace().count() < 3 {
        return Some(format!("{}: neither a test nor a reason: {:?}", row.name, row.ours));
    }
    named.into_iter().find_map(|(path, function)| {
        let functions =
            sources.entry(path.to_owned()).or_insert_with(|| functions(&root().join(path)));
        (!functions.contains(function)).then(|| format!("{}: no {path}::{function}", row.name))
    })
}

/// The functions of a file; none if there is no such file.
fn functions(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_default();
    // Inside `proptest!` the attribute is the same.
    let tests = text.split("#[test]").skip(1);
    let function = |rest: &str| {
        let line = rest.lines().find(|line| line.trim_start().starts_with("fn "))?;
        let name = line.trim_start().strip_prefix("fn ")?.split_once('(')?.0;
        Some(name.to_owned())
    };
    tests.filter_map(function).collect()
}

#[track_caller]
fn assert_sound(rows: &[Row]) {
    let mut sources = BTreeMap::new();
    let faults: Vec<_> = rows.iter().filter_map(|row| fault(row, &mut sources)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let names: BTreeSet<_> = rows.iter().map(|row| &row.name).collect();
    assert_eq!(names.len(), rows.len(), "each row has a name of its own");
}

#[test]
fn every_test_of_memberlist_has_one_of_ours_or_a_reason() {
    let rows = rows("BEHAVIOURS.md");
    assert_sound(&rows);
    let theirs: BTreeSet<_> = GO_TESTS.split_whitespace().collect();
    assert_eq!(theirs.len(), GO_TESTS_COUNT);
    let listed: BTreeSet<_> = rows.iter().map(|row| row.name.as_str()).collect();
    let missing: Vec<_> = theirs.difference(&listed).collect();
    assert!(missing.is_empty(), "not in the table: {missing:?}");
    let gaps = listed.iter().filter(|name| name.starts_with("gap ")).count();
    assert_eq!(gaps, 13);
    let restart = "TestMemberlist_Restart_delegateMeta_Update";
    assert!(listed.contains(restart) && listed.len() == GO_TESTS_COUNT + 1 + gaps);
}

#[test]
fn every_hostile_input_has_a_test_or_a_reason() {
    let rows = rows("HOSTILE.md");
    assert_sound(&rows);
    let expected: Vec<_> = HOSTILE_ROWS
        .iter()
        .flat_map(|&(prefix, count)| (1..=count).map(move |number| format!("{prefix}{number}")))
        .collect();
    let listed: Vec<_> = rows.iter().map(|row| row.name.clone()).collect();
    assert_eq!(listed, expected);
}

#[test]
fn a_faulty_row_is_found() {
    let fault_of = |ours: &str| {
        let row = row(&format!("| name | what | {ours} |")).unwrap();
        fault(&row, &mut BTreeMap::new())
    };
    assert_eq!(fault_of("`core/tests/behaviours.rs::a_faulty_row_is_found`"), None);
    assert_eq!(fault_of("not ours: another component's"), None);
    for bad in [
        "",
        "pending",
        "`core/tests/behaviours.rs::no_such_test`",
        "`core/tests/no_such_file.rs::a_faulty_row_is_found`",
        "`core/tests/behaviours.rs::a_faulty_row_is_found`<br>`core/tests/behaviours.rs::none`",
    ] {
        assert!(fault_of(bad).is_some(), "{bad}");
    }
}
