package tests;

import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.Paths;
import java.util.Collections;
import org.apache.spark.sql.catalyst.analysis.NoSuchTableException;
import org.apache.spark.sql.connector.catalog.Identifier;
import org.apache.spark.sql.connector.catalog.Table;
import org.apache.spark.sql.connector.catalog.TableCatalog;
import org.apache.spark.sql.connector.catalog.TableChange;
import org.apache.spark.sql.execution.datasources.parquet.ParquetFileFormat;
import org.apache.spark.sql.execution.datasources.v2.parquet.ParquetTable;
import org.apache.spark.sql.util.CaseInsensitiveStringMap;

/** A catalogue of tables that keep their versions: version 3 of `clients` are the Parquet files in clients/3. */
public class KeptVersions implements TableCatalog {
    private String name;
    private Path folder;

    public void initialize(String given, CaseInsensitiveStringMap options) {
        name = given;
        folder = Paths.get(options.get("folder"));
    }

    public String name() {
        return name;
    }

    public Table loadTable(Identifier table) throws NoSuchTableException {
        return loadTable(table, "latest");
    }

    public Table loadTable(Identifier table, String version) throws NoSuchTableException {
        Path files = folder.resolve(table.name()).resolve(version);
        if (!Files.isDirectory(files)) {
            throw new NoSuchTableException(table);
        }
        return new ParquetTable(
            table.name(),
            org.apache.spark.sql.classic.SparkSession.active(),
            CaseInsensitiveStringMap.empty(),
            scala.jdk.javaapi.CollectionConverters.asScala(Collections.singletonList(files.toString())).toSeq(),
            scala.Option.empty(),
            ParquetFileFormat.class);
    }

    public Identifier[] listTables(String[] namespace) {
        return new Identifier[0];
    }

    public Table alterTable(Identifier table, TableChange... changes) {
        throw new UnsupportedOperationException();
    }

    public boolean dropTable(Identifier table) {
        return false;
    }

    public void renameTable(Identifier from, Identifier to) {
        throw new UnsupportedOperationException();
    }
}
